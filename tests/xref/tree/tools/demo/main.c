struct demo_item {};

int demo_open(int a)
{
	return a;
}
