#pragma once
struct list_demo {
	struct list_demo *next, *prev;
};
#define LIST_DEMO(name) struct list_demo name = { &(name), &(name) }
