// A Go program as one would write it: goroutines that take tasks from a channel, or URLs.
//
//	pool noop N WORKERS	nanoseconds of wall time per task
//	pool trip N		microseconds from handing one task over to its result, median
//	pool get FILE AT_ONCE	milliseconds for the URLs in FILE, a line each
package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"
)

type task struct {
	input  uint64
	result *uint64
}

func die(err error) {
	fmt.Fprintln(os.Stderr, "pool:", err)
	os.Exit(1)
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		die(err)
	}
	return n
}

func noop(n, workers int) float64 {
	results := make([]uint64, n)
	tasks := make(chan task, 1024)
	var wait sync.WaitGroup
	for i := 0; i < workers; i++ {
		wait.Add(1)
		go func() {
			for t := range tasks {
				*t.result = t.input + 1
			}
			wait.Done()
		}()
	}
	start := time.Now()
	for i := range results {
		tasks <- task{uint64(i), &results[i]}
	}
	close(tasks)
	wait.Wait()
	return float64(time.Since(start).Nanoseconds()) / float64(n)
}

func trip(n int) float64 {
	tasks, results := make(chan uint64), make(chan uint64)
	times := make([]float64, n)
	go func() {
		for t := range tasks {
			results <- t + 1
		}
	}()
	for i := range times {
		start := time.Now()
		tasks <- uint64(i)
		<-results
		times[i] = float64(time.Since(start).Nanoseconds()) / 1e3
	}
	sort.Float64s(times)
	return times[n/2]
}

func get(path string, atOnce int) float64 {
	file, err := os.Open(path)
	if err != nil {
		die(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: atOnce}}
	urls := make(chan string, 1024)
	var wait sync.WaitGroup
	start := time.Now()
	for i := 0; i < atOnce; i++ {
		wait.Add(1)
		go func() {
			for url := range urls {
				answer, err := client.Get(url)
				if err != nil {
					die(err)
				}
				n, err := io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
				if err != nil || n != 1024 {
					die(fmt.Errorf("%s: %d bytes, %v", url, n, err))
				}
			}
			wait.Done()
		}()
	}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		urls <- lines.Text()
	}
	close(urls)
	wait.Wait()
	return float64(time.Since(start).Microseconds()) / 1e3
}

func main() {
	switch {
	case len(os.Args) == 4 && os.Args[1] == "noop":
		fmt.Printf("%.1f\n", noop(number(os.Args[2]), number(os.Args[3])))
	case len(os.Args) == 3 && os.Args[1] == "trip":
		fmt.Printf("%.2f\n", trip(number(os.Args[2])))
	case len(os.Args) == 4 && os.Args[1] == "get":
		fmt.Printf("%.3f\n", get(os.Args[2], number(os.Args[3])))
	default:
		fmt.Fprintln(os.Stderr, "usage: pool noop N WORKERS | pool trip N | pool get FILE AT_ONCE")
		os.Exit(2)
	}
}
