//# what: a local array of strings is data without a name in clang, and the strings are behind pointers
//# changed: colour_name
//# changed[aarch64-gcc]: colour_name shape_name
//# changed[powerpc64-gcc]: colour_name shape_name
//# changed[powerpc64-clang]:
//# changed[s390x]:
//# changed[loongarch64]:
//# exit[powerpc64-clang]: 2
//# exit[s390x]: 2
//# exit[loongarch64]: 2
//# says: not selected for inclusion
#include "kernel.h"

const char *keep_name(const char *const *names, u32 which);

#ifdef PATCHED
#define THIRD "cyan"
#else
#define THIRD "blue"
#endif

const char *colour_name(u32 which)
{
	const char *const names[] = { "red", "green", THIRD, "yellow" };

	return keep_name(names, which);
}

const char *shape_name(u32 which)
{
	const char *const names[] = { "round", "square", "flat", "blue" };

	return keep_name(names, which);
}
