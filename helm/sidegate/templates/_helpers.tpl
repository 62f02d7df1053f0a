{{- define "sidegate.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sidegate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "sidegate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "sidegate.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sidegate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sidegate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sidegate.labels" -}}
{{- $labels := include "sidegate.selectorLabels" . | fromYaml -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- $_ := set $labels "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $labels "app.kubernetes.io/component" .Values.mode -}}
{{- $_ := set $labels "app.kubernetes.io/part-of" "sidegate" -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .Release.Service -}}
{{- merge $labels .Values.commonLabels | toYaml -}}
{{- end -}}

{{- define "sidegate.isGateway" -}}
{{- if eq .Values.mode "gateway" }}yes{{ end -}}
{{- end -}}

{{/* The pods: those of the gateway, or those of the workload that has the sidecar. */}}
{{- define "sidegate.podSelector" -}}
{{- if include "sidegate.isGateway" . -}}
matchLabels:
  {{- include "sidegate.selectorLabels" . | nindent 2 }}
{{- else -}}
{{ .Values.networkPolicy.podSelector | default (dict "matchLabels" (dict "sidegate.io/sidecar" "enabled")) | toYaml }}
{{- end -}}
{{- end -}}

{{- define "sidegate.testContainer" -}}
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources:
  requests: {cpu: 10m, memory: 64Mi}
  limits: {memory: 128Mi}
volumeMounts:
  - name: sidegate-config
    mountPath: /etc/sidegate
    readOnly: true
{{- end -}}

{{/* A job for each workload, as deploy/monitoring/podmonitor.yaml has it. */}}
{{- define "sidegate.jobRelabelings" -}}
- sourceLabels: [__meta_kubernetes_pod_controller_name]
  regex: (.+)
  targetLabel: job
- sourceLabels: [__meta_kubernetes_pod_controller_kind, __meta_kubernetes_pod_controller_name]
  regex: ReplicaSet;(.+)-[a-z0-9]+
  targetLabel: job
- sourceLabels: [__meta_kubernetes_pod_controller_kind, __meta_kubernetes_pod_controller_name]
  regex: Job;(.+)-[0-9]{8,}
  targetLabel: job
{{- end -}}

{{- define "sidegate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "sidegate.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The name of a port of the Service; the first one where none is named. Takes the root context and the name. */}}
{{- define "sidegate.routedPort" -}}
{{- $root := index . 0 -}}
{{- $wanted := index . 1 | default (index $root.Values.service.ports 0).name -}}
{{- $names := list -}}
{{- range $root.Values.service.ports }}{{ $names = append $names .name }}{{ end -}}
{{- if not (has $wanted $names) -}}
{{- fail (printf "\n\nport %s is none of service.ports (they are %s).\nName one of them, or add it.\n" $wanted (join ", " $names)) -}}
{{- end -}}
{{- $wanted -}}
{{- end -}}

{{/* The Service of the metrics has another name than the one for clients, by which the monitor tells them apart. */}}
{{- define "sidegate.metricsSelector" -}}
app.kubernetes.io/name: {{ include "sidegate.name" . | trunc 55 | trimSuffix "-" }}-metrics
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sidegate.metricsLabels" -}}
{{- merge (include "sidegate.metricsSelector" . | fromYaml) (include "sidegate.labels" . | fromYaml) | toYaml -}}
{{- end -}}
