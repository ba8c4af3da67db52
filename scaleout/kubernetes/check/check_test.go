// Package check holds the manifests of this directory to the API's types: a field that is misspelt or misplaced, which a
// cluster may drop in silence, is an error here. It is a module of its own, so that nobody else depends on Kubernetes.
package check

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// read decodes a manifest, strictly.
func read(t *testing.T, name string) (job batchv1.Job) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := decode(text, &job); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if job.APIVersion != batchv1.SchemeGroupVersion.String() || job.Kind != "Job" {
		t.Errorf("%s is %s %s, want batch/v1 Job", name, job.APIVersion, job.Kind)
	}
	return job
}

// decode decodes YAML as the API server does when asked to be strict: no key twice, none unknown, upper and lower case
// told apart.
func decode(text []byte, job *batchv1.Job) error {
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	strict, err := json.UnmarshalStrict(data, job)
	return errors.Join(append(strict, err)...)
}

func TestManifestsAreJobs(t *testing.T) {
	files, err := filepath.Glob("../*.yaml")
	if err != nil || len(files) != 2 {
		t.Fatalf("got manifests %v, %v", files, err)
	}
	for _, file := range files {
		job := read(t, filepath.Base(file))
		pod := job.Spec.Template.Spec
		if pod.RestartPolicy != corev1.RestartPolicyNever || len(pod.Containers) != 1 {
			t.Errorf("%s: restart policy %s, %d containers; a policy for failures needs Never, and these are for one", file, pod.RestartPolicy, len(pod.Containers))
		}
		c := pod.Containers[0]
		if c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s: no request for processors, or no limit of memory", file)
		}
		// What is mounted is declared, and what is written to is mounted.
		for _, m := range c.VolumeMounts {
			if !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
				t.Errorf("%s: mounts %q, which is no volume", file, m.Name)
			}
		}
		for _, arg := range c.Args {
			if strings.HasPrefix(arg, "/") && !strings.HasPrefix(arg, c.VolumeMounts[0].MountPath+"/") {
				t.Errorf("%s: %s is not in the volume", file, arg)
			}
		}
	}
}

// TestShardsAreNumbered holds the manifest to what sample -shard auto reads.
func TestShardsAreNumbered(t *testing.T) {
	job := read(t, "sample.yaml")
	if mode := job.Spec.CompletionMode; mode == nil || *mode != batchv1.IndexedCompletion {
		t.Fatalf("got completion mode %v, want Indexed, which sets %s", mode, batchv1.JobCompletionIndexAnnotation)
	}
	c := job.Spec.Template.Spec.Containers[0]
	i := slices.Index(c.Args, "-shard")
	if i < 0 || c.Args[i+1] != "auto" {
		t.Errorf("got arguments %v, want -shard auto", c.Args)
	}
	completions := ""
	for _, e := range c.Env {
		if e.Name == "JOB_COMPLETIONS" {
			completions = e.Value
		}
	}
	if completions != strconv.Itoa(int(*job.Spec.Completions)) {
		t.Errorf("JOB_COMPLETIONS is %q, completions is %d", completions, *job.Spec.Completions)
	}
	if job.Spec.PodFailurePolicy.Rules[0].OnExitCodes.ContainerName == nil || *job.Spec.PodFailurePolicy.Rules[0].OnExitCodes.ContainerName != c.Name {
		t.Error("the policy for failures is about another container")
	}
}

// TestStrict plants a misspelt field.
func TestStrict(t *testing.T) {
	text, err := os.ReadFile("../sample.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for old, wrong := range map[string]string{"completionMode:": "completionmode:", "      restartPolicy:": "      restartpolicy:", "parallelism: 4": "parallelism: four", "          args:": "          args: []\n          args:"} {
		changed := strings.Replace(string(text), old, wrong, 1)
		if changed == string(text) {
			t.Fatalf("no %s in the manifest", old)
		}
		if err := decode([]byte(changed), new(batchv1.Job)); err == nil {
			t.Errorf("%s was accepted", wrong)
		}
	}
}
