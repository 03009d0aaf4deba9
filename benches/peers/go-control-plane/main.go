// The usual go-control-plane server: its SnapshotCache behind a file watcher.
//
// Reads the fragments of the fleet benchmark (lists by kind, YAML, one document a file), and serves them over
// ADS on 127.0.0.1. It does what such servers do, at their best: only the files that changed are read and
// parsed, then a snapshot of everything is made and set.
//
//	go-control-plane DIR PORT
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"github.com/fsnotify/fsnotify"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"
)

// All nodes receive the same.
const everyone = "everyone"

type everyNode struct{}

func (everyNode) ID(*core.Node) string { return everyone }

type file map[resource.Type][]types.Resource

var kinds = map[string]struct {
	url  string
	make func() proto.Message
}{
	"clusters":  {resource.ClusterType, func() proto.Message { return &cluster.Cluster{} }},
	"endpoints": {resource.EndpointType, func() proto.Message { return &endpoint.ClusterLoadAssignment{} }},
	"listeners": {resource.ListenerType, func() proto.Message { return &listener.Listener{} }},
	"routes":    {resource.RouteType, func() proto.Message { return &route.RouteConfiguration{} }},
}

func read(path string) (file, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lists map[string][]json.RawMessage
	if err := yaml.Unmarshal(text, &lists); err != nil {
		return nil, err
	}
	out := file{}
	for key, items := range lists {
		kind := kinds[key]
		for _, item := range items {
			message := kind.make()
			if err := protojson.Unmarshal(item, message); err != nil {
				return nil, err
			}
			out[kind.url] = append(out[kind.url], message)
		}
	}
	return out, nil
}

func publish(snapshots cache.SnapshotCache, files map[string]file, version int) {
	all := map[resource.Type][]types.Resource{}
	for _, file := range files {
		for url, list := range file {
			all[url] = append(all[url], list...)
		}
	}
	snapshot, err := cache.NewSnapshot(fmt.Sprint(version), all)
	if err != nil {
		log.Fatal(err)
	}
	if err := snapshots.SetSnapshot(context.Background(), everyone, snapshot); err != nil {
		log.Fatal(err)
	}
}

func main() {
	dir, port := os.Args[1], os.Args[2]
	snapshots := cache.NewSnapshotCache(true, everyNode{}, nil)
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		log.Fatal(err)
	}
	if err := watcher.Add(dir); err != nil {
		log.Fatal(err)
	}
	files, version := map[string]file{}, 0
	load := func(path string) {
		if !strings.HasSuffix(path, ".yaml") || strings.HasPrefix(filepath.Base(path), ".") {
			return
		}
		if content, err := read(path); err == nil {
			files[path] = content
		} else if os.IsNotExist(err) {
			delete(files, path)
		} else {
			log.Print(path, ": ", err)
		}
	}
	paths, _ := filepath.Glob(filepath.Join(dir, "*.yaml"))
	for _, path := range paths {
		load(path)
	}
	publish(snapshots, files, version)

	srv := server.NewServer(context.Background(), snapshots, nil)
	grpcServer := grpc.NewServer(grpc.MaxConcurrentStreams(1000), grpc.MaxRecvMsgSize(128<<20))
	discovery.RegisterAggregatedDiscoveryServiceServer(grpcServer, srv)
	socket, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(grpcServer.Serve(socket)) }()

	for event := range watcher.Events {
		changed := map[string]bool{event.Name: true}
		// A burst is taken together, as far as it is there already.
		for more := true; more; {
			select {
			case event := <-watcher.Events:
				changed[event.Name] = true
			case <-time.After(time.Millisecond):
				more = false
			}
		}
		relevant := false
		for path := range changed {
			if strings.HasSuffix(path, ".yaml") && !strings.HasPrefix(filepath.Base(path), ".") {
				load(path)
				relevant = true
			}
		}
		if relevant {
			version++
			publish(snapshots, files, version)
		}
	}
}
