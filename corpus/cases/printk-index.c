//# what: a changed function has a row in .printk_index, and so has an unchanged one
//# changed: start_motor
//# machines: x86_64
#include "kernel.h"

struct print_row {
	const char *format;
	const char *function;
	const char *file;
	u32 line;
};

#define INDEXED(text)                                                                              \
	({                                                                                         \
		static const struct print_row _entry keep = { text, __func__, "motor.c",           \
							      __LINE__ };                          \
		static const struct print_row *const _entry_ptr keep in_section(".printk_index") = \
			&_entry;                                                                   \
		_printk(text);                                                                     \
	})

void start_motor(u32 motor)
{
	INDEXED("motor starts\n");
#ifdef PATCHED
	wait_for(motor);
#endif
	write_register(motor, 1);
}

void stop_motor(u32 motor)
{
	INDEXED("motor stops\n");
	write_register(motor, 0);
}
