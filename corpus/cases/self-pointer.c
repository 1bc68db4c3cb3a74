//# what: a static local that points at itself is unchanged, another function changes
//# changed: count_loss
#include "kernel.h"

struct chain {
	struct chain *next;
	u32 value;
};

u32 walk(struct chain *first);

u32 report_loss(u32 packets)
{
	static struct chain _rs = { &_rs, 1 };

	return walk(&_rs) + packets;
}

u32 count_loss(u32 packets)
{
#ifdef PATCHED
	if (!packets)
		return 1;
#endif
	return walk((struct chain *)0) + packets;
}
