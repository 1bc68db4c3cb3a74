//# what: the function of a static local is inlined into the only one that still calls it
//# changed: load_key
#include "kernel.h"

static u32 load_part(u32 *parts, u32 depth)
{
	static u32 loads;

	loads++;
	if (depth > read_register(3))
		return 0;
	if (parts[depth] > 7)
		wait_for(depth);
	if (parts[depth] > 9)
		write_register(depth, loads);
	return parts[depth] + loads;
}

u32 load_key(u32 *parts)
{
	u32 key = load_part(parts, read_register(0));

#ifndef PATCHED
	if (key > 5)
		return load_part(parts + 1, read_register(1)) + load_part(parts + 2, read_register(2));
#endif
	return key;
}
