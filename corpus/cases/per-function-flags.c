//# what: one function is compiled with other options than the rest, and another one changes
//# changed: fast_sum
#include "kernel.h"

#ifdef __clang__
#define small __attribute__((minsize))
#else
#define small __attribute__((optimize("Os")))
#endif

small u32 small_sum(const u32 *values, u32 count)
{
	u32 sum = 0;

	while (count--)
		sum += *values++;
	return sum;
}

u32 fast_sum(const u32 *values, u32 count)
{
	u32 sum = 0;

#ifdef PATCHED
	if (count > 1000)
		return 0;
#endif
	while (count--)
		sum += *values++;
	return sum;
}
