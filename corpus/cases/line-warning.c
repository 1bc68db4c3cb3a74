//# what: the file got longer above the functions, so that only line numbers of warnings differ
//# exit: 3
//# exit[loongarch64]: 0
//# changed[loongarch64]: check_alignment check_size
//# exit[powerpc64-clang]: 2
#include "kernel.h"

#define WARNING(text) __warn_printk("%s:%d: " text, __FILE__, __LINE__)
#ifdef PATCHED
#line 400
#endif

int check_alignment(u64 address)
{
	if (unlikely(address & 7)) {
		WARNING("address is not aligned\n");
		return -1;
	}
	write_register(0, address);
	return 0;
}

int check_size(u64 size)
{
	if (unlikely(size > 4096)) {
		WARNING("size is too big\n");
		return -1;
	}
	write_register(1, size);
	return 0;
}
