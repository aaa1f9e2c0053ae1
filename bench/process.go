package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc/PID/stat: Linux shows user space a hundred a second on every platform that Go
// runs on.
const clockTick = 10 * time.Millisecond

// procStat is what we read of /proc/PID/stat.
type procStat struct {
	parent int
	cpu    time.Duration // user and system, of the process alone
}

// parseStat reads a line of /proc/PID/stat. The name, in parentheses, may hold anything.
func parseStat(line string) (procStat, error) {
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return procStat{}, errors.New("no process name")
	}
	fields := strings.Fields(line[end+1:]) // from state, the third, on
	if len(fields) < 13 {
		return procStat{}, fmt.Errorf("%d fields", len(fields))
	}
	var numbers [3]int64
	for i, field := range []string{fields[1], fields[11], fields[12]} { // ppid, utime, stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return procStat{}, err
		}
		numbers[i] = n
	}
	return procStat{parent: int(numbers[0]), cpu: time.Duration(numbers[1]+numbers[2]) * clockTick}, nil
}

// cpuOf returns the processor time that servers have used so far, with all processes below them.
func cpuOf(servers []*server) (time.Duration, error) {
	stats, err := allStats()
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, s := range servers {
		if _, ok := stats[s.pid()]; !ok {
			return 0, fmt.Errorf("%s is gone: %s", s.name, s.log)
		}
		total += treeCPU(stats, s.pid())
	}
	return total, nil
}

// treeCPU adds up a process and its descendants.
func treeCPU(stats map[int]procStat, pid int) time.Duration {
	total := stats[pid].cpu
	for child, stat := range stats {
		if stat.parent == pid {
			total += treeCPU(stats, child)
		}
	}
	return total
}

func allStats() (map[int]procStat, error) {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	stats := make(map[int]procStat, len(names))
	for _, name := range names {
		line, err := os.ReadFile(name)
		if err != nil {
			continue // gone meanwhile
		}
		stat, err := parseStat(string(line))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			return nil, err
		}
		stats[pid] = stat
	}
	return stats, nil
}

// anonymousMemory returns the memory of a process that is no file's, in bytes: its heap and stacks, and not its program.
func anonymousMemory(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, errors.New("the process is gone")
	} else if err != nil {
		return 0, err
	}
	return parseRSSAnon(status)
}

func parseRSSAnon(status []byte) (int64, error) {
	for line := range bytes.Lines(status) {
		rest, found := bytes.CutPrefix(line, []byte("RssAnon:"))
		if !found {
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 10, 64)
		return kilobytes << 10, err
	}
	return 0, errors.New("no RssAnon")
}
