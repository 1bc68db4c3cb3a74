//# what: only the line and column of a checked shift moved
//# exit: 3
//# machines: x86_64
//# flags: -fsanitize=shift
#include "kernel.h"

#ifdef PATCHED


#endif
u32 place_bit(u32 bit, u32 by)
{
	write_register(0, bit);
	return bit << by;
}
