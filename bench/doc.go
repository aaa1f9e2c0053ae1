// Command bench measures the gateway and prints one table: the library against mp4ff, the floors and openssl, the server
// against stock Caddy and nginx. `make bench` builds what it needs and runs it; docs/performance.md explains the numbers.
//
// All that is compared runs in the same rounds, one after the other, in another order in each round. A ratio is taken
// inside of a round; what is printed is the median of the ratios with the smallest and the largest. So a machine that does
// other things meanwhile moves the numbers of a round together, and the ratios hardly.
//
// The cost of a server is the processor time of its process and of all below it, from /proc, divided by the bodies that
// were sent. Every answer is checked: a status that is not 200, a socket error or a body of another length ends the run.
package main
