//# what: a function lies in a COMDAT group, as inline assembly and some compilers emit them
//# changed: shift_window
#include "kernel.h"

__asm__(".section .text.shared_helper,\"axG\",%progbits,shared_helper,comdat\n"
	".weak shared_helper\n"
	".type shared_helper,%function\n"
	"shared_helper: .byte 0, 0, 0, 0, 0, 0, 0, 0\n"
	".size shared_helper, .-shared_helper\n"
	".previous\n");

void shared_helper(void);

u32 shift_window(u32 size)
{
#ifdef PATCHED
	if (size > 64)
		size = 64;
#endif
	write_register(3, size);
	return size << 2;
}

void (*shared_entry(void))(void)
{
	return shared_helper;
}
