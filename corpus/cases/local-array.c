//# what: the values of an array on the stack come from an unnamed constant, which differs
//# changed: mix_words
//# changed[aarch64-gcc]: mix_words mix_nothing
//# changed[powerpc64-gcc]: mix_words mix_nothing
#include "kernel.h"

u32 mix_words(u32 seed)
{
	u32 words[12] = { 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584,
#ifdef PATCHED
			  4182
#else
			  4181
#endif
	};

	words[seed % 12] ^= seed;
	wait_for((u32)(u64)words);
	return words[seed % 11];
}

u32 mix_nothing(u32 seed)
{
	u32 words[12] = { 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233 };

	words[seed % 12] ^= seed;
	wait_for((u32)(u64)words);
	return words[seed % 11];
}
