{{- define "countersign.labels" -}}
app.kubernetes.io/name: countersign
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The whole of countersign.yaml: what the chart decides, and the rest from the values. */}}
{{- define "countersign.config" -}}
{{- $tls := ne .Values.tls.secretName "" -}}
{{- $bind := ternary "*:8443 ssl crt /run/tls/site.pem alpn h2,http/1.1" "*:8080" $tls -}}
{{- $haproxy := dict "version" .Values.haproxy.version "bind" (list $bind) "scheme" (ternary "https" "http" $tls) -}}
{{- $socket := dict "address" "unix:/run/countersign/spop.sock" "mode" "0660" -}}
{{- $listen := dict "spop" (list $socket) "admin" "0.0.0.0:9901" -}}
{{- if .Values.config.assertion }}{{- $_ := set $listen "web" "127.0.0.1:9902" }}{{- end -}}
{{- $own := dict "listen" $listen "policies" "/etc/countersign/policies" "haproxy" $haproxy -}}
{{- if .Values.audit.claimName -}}
{{- $_ := set $own "audit" (dict "file" "/var/lib/countersign/audit.log" "key" "/var/lib/countersign/audit.key") -}}
{{- else if .Values.config.audit -}}
{{- fail "config.audit needs audit.claimName: the pod has no other place to keep it" -}}
{{- end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $own) -}}
{{- end }}
