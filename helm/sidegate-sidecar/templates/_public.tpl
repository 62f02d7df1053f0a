{{/*
What a chart of your own includes; each takes the root context. Values stand below "sidegate-sidecar".

  spec:
    terminationGracePeriodSeconds: {{ include "sidegate.sidecar.terminationGracePeriodSeconds" . }}
    initContainers:
      {{- include "sidegate.sidecar.container" . | nindent 6 }}
    containers:
      - name: app
        lifecycle:
          {{- include "sidegate.sidecar.appLifecycle" . | nindent 10 }}
    volumes:
      {{- include "sidegate.sidecar.volumes" . | nindent 6 }}
*/}}

{{/* The container, as one item of initContainers, or of containers without nativeSidecar. */}}
{{- define "sidegate.sidecar.container" -}}
{{- $values := index .Values "sidegate-sidecar" -}}
{{- include "sidegate.lib.container" (dict "root" . "values" $values "role" (ternary "native" "classic" $values.nativeSidecar)) -}}
{{- end -}}

{{/* Its volumes, as items. */}}
{{- define "sidegate.sidecar.volumes" -}}
{{- include "sidegate.lib.volumes" (dict "root" . "values" (index .Values "sidegate-sidecar")) -}}
{{- end -}}

{{/* For the application's container: held until the drain is over, or its connections are cut when the pod is to go. */}}
{{- define "sidegate.sidecar.appLifecycle" -}}
preStop:
  httpGet:
    path: /drain/wait
    port: {{ include "sidegate.lib.healthPort" (index .Values "sidegate-sidecar") }}
{{- end -}}

{{/* For the metadata of the pod. */}}
{{- define "sidegate.sidecar.podAnnotations" -}}
{{- include "sidegate.lib.podAnnotations" (dict "root" . "values" (index .Values "sidegate-sidecar")) -}}
{{- end -}}

{{- define "sidegate.sidecar.podLabels" -}}
sidegate.io/sidecar: enabled
{{- end -}}

{{- define "sidegate.sidecar.terminationGracePeriodSeconds" -}}
{{- (index .Values "sidegate-sidecar").terminationGracePeriodSeconds -}}
{{- end -}}

{{/* The ConfigMap; nothing if one exists elsewhere. */}}
{{- define "sidegate.sidecar.configmap" -}}
{{- include "sidegate.lib.configmap" (dict "root" . "values" (index .Values "sidegate-sidecar") "labels" dict) -}}
{{- end -}}
