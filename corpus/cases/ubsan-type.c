//# what: what is printed about a failed check names another type
//# changed: read_item
//# machines: x86_64
//# flags: -fsanitize=bounds
#include "kernel.h"

struct old_item {
	u32 value;
};

struct new_item {
	u32 value;
};

#ifdef PATCHED
#define ITEM struct new_item
#else
#define ITEM struct old_item
#endif

struct box {
	ITEM items[8];
	u32 count;
};

u32 read_item(struct box *box, u32 index)
{
	wait_for(0);
	return box->items[index].value;
}

u32 read_count(struct box *box)
{
	wait_for(1);
	return box->count;
}
