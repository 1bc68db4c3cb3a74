//# what: the code of all cases is equal and only the table of addresses sends two of them elsewhere (gcc at -O1 keeps their order)
//# changed: route_message
//# only: gcc
//# flags: -fjump-tables -O1
#include "kernel.h"

#ifdef PATCHED
#define FIRST 4
#define SECOND 2
#else
#define FIRST 2
#define SECOND 4
#endif

int route_message(u32 kind, u32 value)
{
	switch (kind) {
	case 0:
		return _printk("message %u\n", value);
	case 1:
		write_register(1, value);
		return 7;
	case FIRST:
		wait_for(value);
		return 5;
	case 3:
		return read_register(value);
	case SECOND:
		release(allocate(value));
		return 3;
	case 5:
		write_register(value, 5);
		return 9;
	case 6:
		write_register(value, 60);
		return 8;
	}
	return -1;
}
