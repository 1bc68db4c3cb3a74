//# what: a local array of strings is data without a name in clang, and the strings are behind pointers
//# machines: x86_64
//# changed: colour_name
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
