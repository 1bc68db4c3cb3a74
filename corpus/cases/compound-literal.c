//# what: a value in a compound literal, which is data without a name
//# changed: set_north
//# changed[aarch64-gcc]: set_north set_south
//# changed[powerpc64-gcc]: set_north set_south
#include "kernel.h"

struct point {
	u64 x, y, z;
};

void keep_points(const struct point *points);

#ifdef PATCHED
#define HEIGHT 9
#else
#define HEIGHT 7
#endif

void set_north(void)
{
	keep_points((const struct point[]){ { 1, 2, 3 }, { 4, 5, 6 }, { 8, HEIGHT, 10 } });
}

void set_south(void)
{
	keep_points((const struct point[]){ { 1, 2, 3 }, { 4, 5, 6 }, { 8, 7, 11 } });
}
