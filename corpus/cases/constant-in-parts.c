//# what: a nameless constant changed behind what one function reads first; another reads it whole
//# changed: read_parts read_whole
//# machines: x86_64
#include "kernel.h"

#ifdef PATCHED
#define SECOND "5"
#else
#define SECOND "2"
#endif

asm(".pushsection .rodata, \"a\"\n"
    ".balign 16\n"
    ".Lfirst:\n"
    ".quad 1\n"
    ".quad " SECOND "\n"
    ".Lother:\n"
    ".quad 3\n"
    ".popsection\n");

u64 read_parts(void)
{
	u64 first, second;

	asm volatile("movq .Lfirst(%%rip), %0\n"
		     "movq .Lfirst + 8(%%rip), %1" : "=r"(first), "=r"(second));
	return first + second;
}

u64 *read_whole(void)
{
	u64 *place;

	asm volatile("leaq .Lfirst(%%rip), %0" : "=r"(place));
	return place;
}

u64 *read_other(void)
{
	u64 *place;

	asm volatile("leaq .Lother(%%rip), %0" : "=r"(place));
	return place;
}
