//# what: an untraced function that only this file can name changes: it is carried for its callers, which are replaced
//# only[loongarch64]: gcc
//# changed: raw_clock clock_of clock_sum
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

u64 clock_sum(u32 clock)
{
	u64 value = raw_clock(clock) * 3;

	write_register(clock, 2);
	return value;
}

u64 no_clock(u32 clock)
{
	return read_register(clock) + 7;
}
