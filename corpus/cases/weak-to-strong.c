//# what: a weak function becomes an ordinary one: which of two definitions runs is not ours to say
//# exit: 2
#include "kernel.h"

#ifndef PATCHED
__attribute__((weak))
#endif
u32 board_revision(u32 board)
{
	return read_register(board);
}

u32 show_board(u32 board)
{
	wait_for(board);
	return board_revision(board) + 1;
}
