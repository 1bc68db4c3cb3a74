//# what: a field moves within a structure, which changes every function that touches it and no other
//# changed: set_owner owner_of
#include "kernel.h"

struct record {
	u32 id;
#ifdef PATCHED
	u32 flags;
#endif
	u32 owner;
};

void set_owner(struct record *record, u32 owner)
{
	record->owner = owner;
}

u32 owner_of(const struct record *record)
{
	return record->owner;
}

u32 id_of(const struct record *record)
{
	return record->id;
}
