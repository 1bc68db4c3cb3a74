//# what: a constant of 16 bytes lives in a pool that has no names, and differs
//# changed: fill_key
#include "kernel.h"

typedef u32 words __attribute__((vector_size(16)));

#ifdef PATCHED
#define LAST 0x0f1e2d3d
#else
#define LAST 0x0f1e2d3c
#endif

void fill_key(words *key)
{
	*key ^= (words){ 0x01234567, 0x89abcdef, 0x12345678, LAST };
	wait_for(0);
}

void fill_default(words *key)
{
	*key ^= (words){ 0x11111111, 0x22222222, 0x33333333, 0x44444445 };
	wait_for(1);
}
