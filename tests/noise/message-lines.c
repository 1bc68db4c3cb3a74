//# what: printk: the line in the index of messages
//# real: 0 changed function: start_motor
#include "kernel.h"
struct print_row { const char *format, *function, *file; u32 line; const char *level; };
#ifdef NOISE
#define LINE 90
#else
#define LINE 80
#endif
#ifdef REAL
#define TEXT "motor starts\n"
#else
#define TEXT "motor begins\n"
#endif
#define INDEXED(text)                                                                              \
	({                                                                                         \
		static const struct print_row _entry keep = { text, __func__, "motor.c", LINE };   \
		static const struct print_row *const _entry_ptr keep in_section(".printk_index") = \
			&_entry;                                                                   \
		_printk(text);                                                                     \
	})
void start_motor(u32 motor)
{
	INDEXED(TEXT);
	write_register(motor, 1);
}
