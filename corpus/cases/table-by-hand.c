//# what: code is equal, and one of two unnamed tables in the same section sends two cases elsewhere
//# changed: dispatch_reply
//# machines: x86_64
#include "kernel.h"

/* Jumps through a table of four labels that has no symbol. */
#define JUMP_BY(index, first, second, third, fourth)                                               \
	asm goto(".pushsection .rodata, \"a\"\n"                                                   \
		 ".balign 8\n"                                                                     \
		 "1: .quad " first ", " second ", " third ", " fourth "\n"                         \
		 ".popsection\n"                                                                   \
		 "jmp *1b(,%0,8)\n" ::"r"((u64)(index)&3)::zero, one, two, three)

u32 dispatch_request(u32 kind, u32 value)
{
	JUMP_BY(kind, "%l[zero]", "%l[one]", "%l[two]", "%l[three]");
zero:
	wait_for(value);
	return 1;
one:
	write_register(value, 3);
	return 5;
two:
	return read_register(value);
three:
	release(allocate(value));
	return 8;
}

u32 dispatch_reply(u32 kind, u32 value)
{
#ifdef PATCHED
	JUMP_BY(kind, "%l[zero]", "%l[two]", "%l[one]", "%l[three]");
#else
	JUMP_BY(kind, "%l[zero]", "%l[one]", "%l[two]", "%l[three]");
#endif
zero:
	wait_for(value + 1);
	return 2;
one:
	write_register(value, 4);
	return 6;
two:
	return read_register(value + 1);
three:
	release(allocate(value + 1));
	return 9;
}
