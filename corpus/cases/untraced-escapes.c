//# what: an untraced function changes whose address a function passes on: pointers to the old one are out
//# exit: 2
//# says: its address
#include "kernel.h"

static noinline untraced u64 raw_clock(u32 clock)
{
	u64 value = read_register(clock);

#ifdef PATCHED
	value <<= 1;
#endif
	return value + 1;
}

u64 clock_of(u32 clock)
{
	wait_for(clock);
	return raw_clock(clock + 1) + read_register(0);
}

void *clock_function(void)
{
	wait_for(3);
	return (void *)raw_clock;
}
