package main

import (
	"encoding/json"
	"fmt"
	"reflect"

	"sigs.k8s.io/yaml"
)

// manifestCase is a YAML document, and what somebody else reads in it.
type manifestCase struct {
	Text string `json:"text"`
	// Reading is nothing where only the document itself is judged.
	Reading *json.RawMessage `json:"reading"`
}

// judgeManifest does what kubectl does with a document, and refuses another reading of it.
func judgeManifest(request json.RawMessage) error {
	var given manifestCase
	mustRead(request, &given)
	text, err := yaml.YAMLToJSON([]byte(given.Text))
	if err != nil || given.Reading == nil {
		return err
	}
	var read, expected any
	if err := json.Unmarshal(text, &read); err != nil {
		return err
	}
	mustRead(*given.Reading, &expected)
	if !reflect.DeepEqual(read, expected) {
		return fmt.Errorf("it reads %s", text)
	}
	return nil
}
