package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
)

// The environment of a process, and what somebody reads in it for each URL.
type proxyCase struct {
	Environment map[string]string `json:"environment"`
	URLs        []string          `json:"urls"`
	Reading     []string          `json:"reading"`
}

// The subject by which this program asks itself, since the library reads the environment once a process.
const proxyOfThisProcess = "proxy-of-this-process"

func judgeProxies(request json.RawMessage) error {
	var it proxyCase
	mustRead(request, &it)
	command := exec.Command(os.Args[0], append([]string{proxyOfThisProcess}, it.URLs...)...)
	command.Env = []string{"HOME=/"}
	for name, value := range it.Environment {
		command.Env = append(command.Env, name+"="+value)
	}
	output, err := command.Output()
	if err != nil {
		return err
	}
	ways := strings.Split(strings.TrimSuffix(string(output), "\n"), "\n")
	for index, way := range ways {
		if index >= len(it.Reading) || way != it.Reading[index] {
			return fmt.Errorf("%s: %s", it.URLs[index], way)
		}
	}
	return nil
}

// Prints the way to each URL: direct, refused, or the proxy with the header for it.
func printProxies(urls []string) {
	for _, text := range urls {
		target, err := url.Parse(text)
		if err != nil {
			fmt.Println("no URL")
			continue
		}
		proxy, err := http.ProxyFromEnvironment(&http.Request{URL: target})
		switch {
		case err != nil:
			fmt.Println("refused")
		case proxy == nil:
			fmt.Println("direct")
		default:
			way := proxy.Scheme + "://" + proxy.Host
			if proxy.User != nil {
				request := http.Request{Header: http.Header{}}
				password, _ := proxy.User.Password()
				request.SetBasicAuth(proxy.User.Username(), password)
				way += " " + request.Header.Get("Authorization")
			}
			fmt.Println(way)
		}
	}
}
