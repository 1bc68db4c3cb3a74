//# what: a changed function uses a named constant table whose contents differ
//# changed: gain_of
#include "kernel.h"

static const u32 gains[] = {
	10, 12, 15, 19,
#ifdef PATCHED
	24, 30, 37, 47,
#else
	25, 32, 40, 50,
#endif
};

u32 gain_of(u32 step)
{
#ifdef PATCHED
	if (step > 7)
		step = 7;
#endif
	return gains[step];
}

u32 step_of(u32 gain)
{
	return gain / 7;
}
