//# what: an untraced function changes whose address is in data: who calls it through that is not known
//# only[loongarch64]: gcc
//# exit: 2
//# says: clock_source takes its address
#include "kernel.h"

static noinline untraced u64 raw_clock(u32 clock)
{
	u64 value = read_register(clock);

#ifdef PATCHED
	value <<= 1;
#endif
	return value + 1;
}

u64 (*clock_source)(u32 clock) = raw_clock;

u64 clock_of(u32 clock)
{
	wait_for(clock);
	return raw_clock(clock + 1) + read_register(0);
}
