//# what: the caller of an untraced function that changes is untraced, too: both are carried for who calls them
//# only[loongarch64]: gcc
//# changed: raw_clock slow_clock clock_of
#include "kernel.h"

static noinline untraced u64 raw_clock(u32 clock)
{
	u64 value = read_register(clock);

#ifdef PATCHED
	value <<= 1;
#endif
	return value + 1;
}

static noinline untraced u64 slow_clock(u32 clock)
{
	wait_for(clock);
	return raw_clock(clock + 1) + read_register(0);
}

u64 clock_of(u32 clock)
{
	u64 value = slow_clock(clock) * 3;

	write_register(clock, 2);
	return value;
}
