//# what: a new function calls another new one, which calls an unchanged static one
//# changed: flush_journal
//# new: flush_range flush_block
#include "kernel.h"

static noinline void barrier_wait(u32 device)
{
	write_register(device, 0xb);
	wait_for(device);
}

#ifdef PATCHED
static noinline int flush_block(u32 device, u32 block)
{
	write_register(device + 1, block);
	barrier_wait(device);
	return read_register(device) != 0;
}

static noinline int flush_range(u32 device, u32 first, u32 last)
{
	int failures = 0;

	while (first < last)
		failures += flush_block(device, first++);
	return failures;
}
#endif

int flush_journal(u32 device, u32 first, u32 last)
{
#ifdef PATCHED
	if (flush_range(device, first, last))
		return -5;
#else
	write_register(device + 1, first);
	write_register(device + 2, last);
#endif
	barrier_wait(device);
	return 0;
}

void sync_journal(u32 device)
{
	barrier_wait(device);
	barrier_wait(device + 1);
}
