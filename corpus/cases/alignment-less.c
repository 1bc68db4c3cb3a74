//# what: a variable that needs less alignment, beside a change: where it is it serves
//# changed: count
#include "kernel.h"

#ifdef PATCHED
#define STEP 2
static u32 counts[16] = { 1 };
#else
#define STEP 1
static u32 counts[16] __attribute__((aligned(128))) = { 1 };
#endif

u32 show(u32 index)
{
	return counts[index];
}

void count(u32 index)
{
	counts[index] += STEP;
}
