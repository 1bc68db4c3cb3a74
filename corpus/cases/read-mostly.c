//# what: variables in .data..read_mostly and .data..ro_after_init keep their values under a changed function
//# changed: pick_queue
#include "kernel.h"

static in_section(".data..read_mostly") u32 queues = 4;
in_section(".data..ro_after_init") u32 first_queue = 1;

u32 pick_queue(u32 hash)
{
#ifdef PATCHED
	if (!queues)
		return first_queue;
#endif
	return first_queue + hash % queues;
}

void set_queues(u32 count)
{
	queues = count;
	write_register(0, count);
}
