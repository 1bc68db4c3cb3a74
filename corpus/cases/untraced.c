//# what: a function that has no place for a tracer, and so cannot be replaced, changes
//# exit: 2
#include "kernel.h"

noinline untraced u64 raw_clock(u32 clock)
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
