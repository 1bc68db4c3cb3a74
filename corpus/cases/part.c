//# what: gcc splits the slow half of a function into .part and inlines the test; the slow half differs
//# only: gcc
//# needs-symbol: put_lease.part.0
//# changed: put_lease
#include "kernel.h"

struct lease {
	u32 holders;
	u32 id;
	void *memory;
};

void put_lease(struct lease *lease)
{
	if (likely(--lease->holders))
		return;
#ifdef PATCHED
	write_register(lease->id, 0xffff);
#endif
	release(lease->memory);
	wait_for(lease->id);
	write_register(lease->id, 1);
	write_register(lease->id + 1, 2);
	_printk("lease %u is over\n", lease->id);
	lease->memory = 0;
	lease->id = 0;
	release(lease);
}

void drop_first(struct lease **leases)
{
	put_lease(leases[0]);
	wait_for(0);
}

void drop_second(struct lease **leases)
{
	wait_for(1);
	put_lease(leases[1]);
	wait_for(2);
}
