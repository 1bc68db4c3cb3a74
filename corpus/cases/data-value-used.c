//# what: a variable starts with another value and a function that uses it changes as well
//# exit: 2
#include "kernel.h"

#ifdef PATCHED
u32 window = 64;
#else
u32 window = 32;
#endif

u32 clamp_window(u32 wanted)
{
#ifdef PATCHED
	if (!wanted)
		return 1;
#endif
	return wanted < window ? wanted : window;
}
