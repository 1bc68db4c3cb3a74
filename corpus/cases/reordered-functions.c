//# what: the functions stand in another order and mean the same
//# exit: 3
#include "kernel.h"

#define OPEN                                                                                       \
	int open_gate(u32 gate)                                                                    \
	{                                                                                          \
		write_register(gate, 1);                                                           \
		return _printk("gate %u opens\n", gate);                                           \
	}
#define CLOSE                                                                                      \
	int close_gate(u32 gate)                                                                   \
	{                                                                                          \
		write_register(gate, 0);                                                           \
		return _printk("gate %u closes\n", gate);                                          \
	}

#ifdef PATCHED
CLOSE
OPEN
#else
OPEN
CLOSE
#endif
