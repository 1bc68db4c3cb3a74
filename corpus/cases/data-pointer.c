//# what: only the relocation in a variable differs: it points to another function
//# exit: 2
#include "kernel.h"

int plain_copy(u32 from, u32 to)
{
	write_register(to, read_register(from));
	return 0;
}

int checked_copy(u32 from, u32 to)
{
	if (from == to)
		return -1;
	return plain_copy(from, to);
}

#ifdef PATCHED
int (*copy_method)(u32, u32) = checked_copy;
#else
int (*copy_method)(u32, u32) = plain_copy;
#endif
