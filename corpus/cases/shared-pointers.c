//# what: data without names in 64 levels, each of which points twice to the next, is unchanged; another function changes
//# changed: read_other
#include "kernel.h"

#define LEVEL(n, next) ".Lshared" #n ": .quad .Lshared" #next ", .Lshared" #next "\n"
#define LEVELS(a, next)                                                               \
	LEVEL(a##0, a##1) LEVEL(a##1, a##2) LEVEL(a##2, a##3) LEVEL(a##3, a##4)       \
	LEVEL(a##4, a##5) LEVEL(a##5, a##6) LEVEL(a##6, a##7) LEVEL(a##7, next)

__asm__(".section .data.rel.ro.shared, \"aw\"\n"
	".balign 8\n"
	LEVELS(1, 20) LEVELS(2, 30) LEVELS(3, 40) LEVELS(4, 50)
	LEVELS(5, 60) LEVELS(6, 70) LEVELS(7, 80) LEVELS(8, 90)
	".Lshared90: .quad 1, 2\n"
	".previous\n");

extern const u64 shared[] __asm__(".Lshared10");

u64 walk_all(const u64 *first);

u64 read_shared(u64 index)
{
	return walk_all(shared) + index;
}

u64 read_other(u64 index)
{
#ifdef PATCHED
	if (!index)
		return 1;
#endif
	return walk_all((const u64 *)0) + index;
}
