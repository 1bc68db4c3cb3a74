//# what: the changed function holds a shift that the kernel writes into its code at boot, but not into a module's
//# machines: x86_64
//# exit: 2
#include "kernel.h"

u32 bucket_of(u32 hash)
{
	u32 bucket = hash;

	asm volatile("shrl $12, %0\n1:\n"
		     ".pushsection runtime_shift_bucket_bits, \"a\"\n"
		     ".long 1b - 1 - .\n"
		     ".popsection\n"
		     : "+r"(bucket));
#ifdef PATCHED
	write_register(0, bucket);
#endif
	return bucket;
}
