//# what: a named constant table differs and no function that uses it changes
//# exit: 2
#include "kernel.h"

const u32 weights[] = {
	3, 1, 4, 1, 5,
#ifdef PATCHED
	8,
#else
	9,
#endif
	2, 6,
};

u32 weight_of(u32 rank)
{
	return weights[rank & 7];
}
