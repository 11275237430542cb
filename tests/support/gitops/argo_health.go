package main

import (
	"context"
	"fmt"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The verdict of Argo CD with the health scripts of this argocd-cm.
func judgeByScripts(_ context.Context, request *Request) (any, error) {
	return judgeAll(request, func(object *unstructured.Unstructured) (Verdict, error) {
		result, err := health.GetResourceHealth(object, scripts(request.ConfigMap))
		if err != nil {
			return Verdict{}, err
		}
		if result == nil {
			return Verdict{}, fmt.Errorf("there is no script for %s", object.GroupVersionKind())
		}
		return Verdict{Status: string(result.Status), Message: result.Message}, nil
	})
}

// The data of argocd-cm, as what Argo CD's engine asks first.
type scripts map[string]string

// GetResourceHealth runs the script of the object's kind.
func (s scripts) GetResourceHealth(object *unstructured.Unstructured) (*health.HealthStatus, error) {
	kind := object.GroupVersionKind()
	script, found := s["resource.customizations.health."+kind.Group+"_"+kind.Kind]
	if !found {
		return nil, nil
	}
	return runScript(script, object)
}

// Scripts of argocd-cm have the basic functions and those for tables, not those for strings, and a second.
func runScript(script string, object *unstructured.Unstructured) (*health.HealthStatus, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	limited, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(limited)
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		call := lua.P{Fn: state.NewFunction(open), NRet: 0, Protect: true}
		if err := state.CallByParam(call, lua.LString(name)); err != nil {
			return nil, err
		}
	}
	state.SetGlobal("obj", luaValue(state, object.Object))
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	verdict, isTable := state.Get(-1).(*lua.LTable)
	if !isTable {
		return nil, fmt.Errorf("the script returned %s instead of a table", state.Get(-1).Type())
	}
	status := health.HealthStatusCode(lua.LVAsString(verdict.RawGetString("status")))
	if !isKnown(status) {
		return nil, fmt.Errorf("the script returned the status %q, which is none", status)
	}
	return &health.HealthStatus{Status: status, Message: lua.LVAsString(verdict.RawGetString("message"))}, nil
}

func isKnown(status health.HealthStatusCode) bool {
	switch status {
	case health.HealthStatusUnknown, health.HealthStatusProgressing, health.HealthStatusSuspended,
		health.HealthStatusHealthy, health.HealthStatusDegraded, health.HealthStatusMissing:
		return true
	default:
		return false
	}
}

// A JSON value as Lua sees it.
func luaValue(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(luaValue(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, item := range value {
			table.RawSetString(key, luaValue(state, item))
		}
		return table
	default:
		return lua.LNil
	}
}
