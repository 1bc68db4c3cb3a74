//# what: a changed function has a switch that is compiled to comparisons
//# changed: decode_opcode
//# flags: -fno-jump-tables
#include "kernel.h"

int decode_opcode(u32 opcode, u32 value)
{
	switch (opcode) {
	case 0:
		return _printk("load %u\n", value);
	case 1:
		write_register(1, value);
		return 7;
	case 2:
		wait_for(value);
		return 5;
	case 3:
		return read_register(value);
	case 4:
		release(allocate(value));
		return 3;
	case 5:
		write_register(value, 5);
		return 9;
	case 6:
#ifdef PATCHED
		write_register(value, 6);
#else
		write_register(value, 60);
		write_register(value, 61);
#endif
		return 8;
	}
	return -1;
}

int decode_prefix(u32 prefix, u32 value)
{
	switch (prefix) {
	case 0:
		return _printk("prefix %u\n", value);
	case 1:
		write_register(11, value);
		return 2;
	case 2:
		wait_for(value + 1);
		return 3;
	case 3:
		return read_register(value + 2);
	case 4:
		write_register(value, 50);
		return 4;
	case 5:
		write_register(value + 1, 51);
		return 5;
	}
	return -2;
}
