//# what: a function that has a static local gets an inlined one with another of the same name
//# exit: 2
//# only: gcc
//# says: it is unclear which static local variable of the original
#include "kernel.h"

#ifdef PATCHED
static always_inline u32 check_budget(u32 value)
{
	static u32 count;

	count += read_register(value + 1);
	return count;
}
#endif

u32 spend_budget(u32 value)
{
	static u32 count;

#ifdef PATCHED
	if (check_budget(value) > 4)
		return 0;
#endif
	count += value;
	return read_register(count);
}
