//# what: two static locals and a static function share one name, and only one user changes
//# changed: count_left
//# exit[powerpc64-clang]: 2
//# changed[powerpc64-clang]:
/* clang for powerpc64le merges the statics into one nameless object, so that none can be told. */
#include "kernel.h"

static noinline u32 tally(u32 value)
{
	return read_register(value) + 1;
}

u32 count_left(u32 value)
{
	static u32 seen;
	u32 result = tally(value);

	{
		static u32 tally;

#ifdef PATCHED
		if (value > 7)
			return tally;
#endif
		tally += value;
		seen += tally;
	}
	return result + seen;
}

u32 count_right(u32 value)
{
	static u32 seen;
	u32 result = tally(value + 1);

	{
		static u32 tally;

		tally ^= value;
		seen += tally;
	}
	return result ^ seen;
}
