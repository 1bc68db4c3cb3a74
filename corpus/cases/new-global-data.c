//# what: a changed function uses a global variable that is new
//# changed: throttle
#include "kernel.h"

#ifdef PATCHED
u32 throttle_floor = 40;
#endif

u32 throttle(u32 rate)
{
#ifdef PATCHED
	if (rate < throttle_floor)
		return throttle_floor;
#endif
	return rate - (rate >> 3);
}

u32 boost(u32 rate)
{
	return rate + (rate >> 3);
}
