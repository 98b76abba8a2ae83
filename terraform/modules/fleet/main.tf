# What one fleet is made of: the template its hosts are launched from, and the target group they serve behind.

resource "aws_launch_template" "this" {
  name        = "fleet-scaler-${var.name}"
  description = "Hosts of the fleet ${var.name}"

  image_id      = var.image_id
  instance_type = var.instance_types[0]
  user_data     = var.user_data == null ? null : base64encode(var.user_data)

  # No network_interfaces block: with one, EC2 refuses the subnet that each launch chooses.
  vpc_security_group_ids = var.security_group_ids

  # A host that shuts itself down must be gone, not stopped: a stopped host still counts under the fleet's ceiling.
  instance_initiated_shutdown_behavior = "terminate"

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = var.metadata_hop_limit
    instance_metadata_tags      = "disabled"
  }

  block_device_mappings {
    device_name = var.root_volume.device_name

    ebs {
      encrypted             = true
      kms_key_id            = var.root_volume.kms_key_arn
      volume_size           = var.root_volume.size_gib
      volume_type           = var.root_volume.type
      delete_on_termination = true
    }
  }

  dynamic "iam_instance_profile" {
    for_each = var.instance_profile_arn == null ? [] : [var.instance_profile_arn]

    content {
      arn = iam_instance_profile.value
    }
  }

  # The scaler sets the instances' tags in the launch call itself. What is launched with them is tagged here, with the
  # owner, because the service's role may tag nothing else.
  dynamic "tag_specifications" {
    for_each = toset(["network-interface", "volume"])

    content {
      resource_type = tag_specifications.value
      tags          = local.tags
    }
  }

  tags = local.tags
}

locals {
  # A target group's name has 32 characters at most. A long fleet name is cut, and told apart by its hash.
  target_group_name = (
    length(var.name) <= 29 ? "fs-${var.name}" : "fs-${substr(var.name, 0, 20)}-${substr(sha256(var.name), 0, 8)}"
  )

  tags = merge(var.tags, {
    "fleet-scaler:owner" = var.owner
    "fleet-scaler:fleet" = var.name
  })
}

resource "aws_lb_target_group" "this" {
  count = var.target_group == null ? 0 : 1

  name                 = local.target_group_name
  vpc_id               = var.target_group.vpc_id
  port                 = var.target_group.port
  protocol             = var.target_group.protocol
  target_type          = "instance"
  deregistration_delay = var.target_group.deregistration_delay_s
  tags                 = local.tags

  health_check {
    path                = var.target_group.health_check.path
    matcher             = var.target_group.health_check.matcher
    protocol            = var.target_group.protocol
    interval            = var.target_group.health_check.interval_s
    timeout             = var.target_group.health_check.timeout_s
    healthy_threshold   = var.target_group.health_check.healthy_threshold
    unhealthy_threshold = var.target_group.health_check.unhealthy_threshold
  }
}
