//# what: nothing but the options of one function changes, and with them its code
//# changed: pack_words
#include "kernel.h"

#ifdef __clang__
#define small __attribute__((minsize))
#else
#define small __attribute__((optimize("Os")))
#endif

#ifdef PATCHED
small
#endif
u32 pack_words(u32 *words, u32 count)
{
	u32 packed = 0, i;

	for (i = 0; i < count; i++) {
		if (words[i])
			words[packed++] = words[i] / 10;
	}
	return packed;
}

u32 first_word(const u32 *words)
{
	return words[0] / 10;
}
