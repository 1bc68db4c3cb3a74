//# what: code is equal, but what replaces it at boot differs
//# changed: fence_writes
//# machines: x86_64
#include "kernel.h"

#ifdef PATCHED
#define FENCE "mfence"
#else
#define FENCE "sfence"
#endif

void fence_writes(u32 *slot, u32 value)
{
	*slot = value;
	ALTERNATIVE("nop; nop; nop", FENCE, 0x62);
	wait_for(value);
}

void fence_reads(u32 *slot, u32 value)
{
	ALTERNATIVE("nop; nop; nop", "lfence", 0x62);
	*slot = value;
	wait_for(value + 1);
}
