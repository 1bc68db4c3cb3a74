//# what: two constants of one name, with pointers, exchange what they hold
//# exit: 0
//# changed: announce
//# changed[powerpc64-clang]:
//# exit[powerpc64-clang]: 2
#include "kernel.h"

struct range {
	u32 number;
	const char *name;
};

void show(const struct range *range);

#ifdef PATCHED
#define EARLY 2
#define LATE 1
#else
#define EARLY 1
#define LATE 2
#endif

void announce(void)
{
	{
		static const struct range range = {EARLY, "range"};
		show(&range);
	}
	{
		static const struct range range = {LATE, "range"};
		show(&range);
	}
}
